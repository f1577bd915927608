/**
 * The style that lightweight-charts puts into the document for its logo. It stands in the exported pages too, so that
 * the policy of the API, which allows the inline styles of the export by their hashes, allows it.
 */
export const LOGO_STYLE =
  "a#tv-attr-logo{--fill:#131722;--stroke:#fff;position:absolute;left:10px;bottom:10px;height:19px;width:35px;margin:0;" +
  "padding:0;border:0;z-index:3;}a#tv-attr-logo[data-dark]{--fill:#D1D4DC;--stroke:#131722;}";
