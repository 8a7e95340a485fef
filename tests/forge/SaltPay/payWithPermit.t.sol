// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {Salt, newSalt} from "../support/Contracts.sol";
import {IUsdc, UsdcCode} from "../support/UsdcCode.sol";
import {SaltPayTest} from "./SaltPayTest.sol";
import {Vm} from "forge-std/Vm.sol";

contract SaltPay_payWithPermit is SaltPayTest {
    uint256 private constant AMOUNT = 1_000_000;
    uint256 private constant FUNDS = 10 * AMOUNT;
    uint256 private constant DEADLINE = 1_800_000_000;

    Salt private token;
    Vm.Wallet private owner;

    struct Permit {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        vm.warp(DEADLINE);
        owner = vm.createWallet("payer");
        assertEq(owner.addr, payer);
        token = newSalt(payer, FUNDS);
    }

    function test_payWithPermit_needsNoAllowanceBefore_andLeavesNone() external {
        expectPayment(REFERENCE, payer, payee, address(token), AMOUNT);
        pay(address(token), AMOUNT, permitted(AMOUNT));

        assertEq(token.balanceOf(payee), AMOUNT);
        assertEq(token.allowance(payer, address(saltPay)), 0);
        assertEq(token.balanceOf(address(saltPay)), 0);
    }

    /// @dev Whoever sees the permit can submit it alone. The payment must not fail for it.
    function test_payWithPermit_survivesThatThePermitWasSubmittedBefore() external {
        Permit memory permit = permitted(AMOUNT);
        token.permit(payer, address(saltPay), AMOUNT, DEADLINE, permit.v, permit.r, permit.s);

        pay(address(token), AMOUNT, permit);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_payWithPermit_takesTheAllowanceOfATokenWithoutPermits() external {
        PlainToken plain = fund(new PlainToken());

        pay(address(plain), AMOUNT, permitted(AMOUNT));

        assertEq(plain.balanceOf(payee), AMOUNT);
    }

    function test_payWithPermit_takesTheAllowance_howeverThePermitIsRefused() external {
        for (uint256 way = 0; way <= uint256(type(PermitRefusingToken.Way).max); ++way) {
            PermitRefusingToken refusing = new PermitRefusingToken();
            fund(refusing);
            refusing.setWay(PermitRefusingToken.Way(way));

            pay(address(refusing), AMOUNT, permitted(AMOUNT));

            assertEq(refusing.balanceOf(payee), AMOUNT);
        }
    }

    function test_payWithPermit_paysInUsdc() external {
        IUsdc usdc = UsdcCode.deploy(address(this));
        usdc.mint(payer, AMOUNT);
        Permit memory permit = permitted(usdc.DOMAIN_SEPARATOR(), usdc.nonces(payer), AMOUNT);

        pay(address(usdc), AMOUNT, permit);

        assertEq(usdc.balanceOf(payee), AMOUNT);
    }

    function test_payWithPermit_reverts_whenUsdcBlacklistsThePayee() external {
        IUsdc usdc = UsdcCode.deploy(address(this));
        usdc.mint(payer, AMOUNT);
        usdc.blacklist(payee);
        Permit memory permit = permitted(usdc.DOMAIN_SEPARATOR(), usdc.nonces(payer), AMOUNT);

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.TransferRefused.selector, usdc, payer, AMOUNT));
        pay(address(usdc), AMOUNT, permit);
    }

    function test_payWithPermit_reverts_whenThePermitIsForAnotherAmountAndThereIsNoAllowance() external {
        expectRefusal(AMOUNT, permitted(AMOUNT + 1));
    }

    /// @dev Also where an allowance is there: the deadline is the payment's too.
    function test_payWithPermit_reverts_whenTheDeadlineHasPassed() external {
        Permit memory permit = permitted(AMOUNT);
        vm.prank(payer);
        token.approve(address(saltPay), AMOUNT);
        vm.warp(DEADLINE + 1);

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.DeadlinePassed.selector, DEADLINE, DEADLINE + 1));
        pay(address(token), AMOUNT, permit);
    }

    /// @dev A permit of another payer is of no use to the caller, who alone pays.
    function test_payWithPermit_reverts_whenThePermitIsAnothers() external {
        Permit memory permit = permitted(AMOUNT);
        address thief = makeAddr("thief");

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.TransferRefused.selector, token, thief, AMOUNT));
        vm.prank(thief);
        saltPay.payWithPermit(REFERENCE, payee, address(token), AMOUNT, DEADLINE, permit.v, permit.r, permit.s);
    }

    function test_payWithPermit_reverts_whenTokenTakesAFee() external {
        PlainToken fee = fund(new FeeOnTransferToken());
        Permit memory permit = permitted(AMOUNT);

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InexactTransfer.selector, fee, AMOUNT, 0, AMOUNT - 1));
        pay(address(fee), AMOUNT, permit);
    }

    function test_payWithPermit_reverts_whenReferenceIsZero() external {
        Permit memory permit = permitted(AMOUNT);

        vm.expectRevert(ISaltPay.ZeroReference.selector);
        vm.prank(payer);
        saltPay.payWithPermit(bytes32(0), payee, address(token), AMOUNT, DEADLINE, permit.v, permit.r, permit.s);
    }

    function test_payWithPermit_reverts_whenAmountIsZero() external {
        Permit memory permit = permitted(0);

        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        pay(address(token), 0, permit);
    }

    function test_payWithPermit_reverts_whenPayeeIsThePayer() external {
        Permit memory permit = permitted(AMOUNT);

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, payer));
        vm.prank(payer);
        saltPay.payWithPermit(REFERENCE, payer, address(token), AMOUNT, DEADLINE, permit.v, permit.r, permit.s);
    }

    function test_payWithPermit_reverts_whenAssetIsTheNativeCoin() external {
        Permit memory permit = permitted(AMOUNT);

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidAsset.selector, NATIVE));
        pay(NATIVE, AMOUNT, permit);
    }

    function test_payWithPermit_reverts_whenAssetHasNoCode() external {
        Permit memory permit = permitted(AMOUNT);
        address empty = makeAddr("no code");

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidAsset.selector, empty));
        pay(empty, AMOUNT, permit);
    }

    /// @dev While it takes the permit nothing is being measured: a payment that the token makes then is one of its own.
    function test_payWithPermit_countsEachPaymentOnce_whenTheTokenPaysWhileItTakesThePermit() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        vm.deal(address(reentering), 1 ether);
        reentering.mint(address(reentering), AMOUNT);
        vm.prank(address(reentering));
        reentering.approve(address(saltPay), AMOUNT);
        reentering.reenter(
            address(saltPay), abi.encodeCall(ISaltPay.payToken, (OTHER_REFERENCE, payee, address(reentering), AMOUNT))
        );

        // The token calls back at the permit and at both transfers; at the transfers it is refused.
        pay(address(reentering), AMOUNT, permitted(AMOUNT));

        assertEq(reentering.balanceOf(payee), 2 * AMOUNT);
        assertFalse(reentering.called());
        assertEq(reentering.answer(), abi.encodePacked(ISaltPay.Reentered.selector));
    }

    function testFuzz_payWithPermit_movesExactlyTheAmount(bytes32 paymentReference, address to, uint256 amount)
        external
    {
        assumePayee(to);
        vm.assume(paymentReference != bytes32(0));
        amount = bound(amount, 1, FUNDS);
        Permit memory permit = permitted(amount);

        expectPayment(paymentReference, payer, to, address(token), amount);
        vm.prank(payer);
        saltPay.payWithPermit(paymentReference, to, address(token), amount, DEADLINE, permit.v, permit.r, permit.s);

        assertEq(token.balanceOf(to), amount);
        assertEq(token.balanceOf(payer), FUNDS - amount);
        assertEq(token.allowance(payer, address(saltPay)), 0);
    }

    function pay(address asset, uint256 amount, Permit memory permit) private {
        vm.prank(payer);
        saltPay.payWithPermit(REFERENCE, payee, asset, amount, DEADLINE, permit.v, permit.r, permit.s);
    }

    function expectRefusal(uint256 amount, Permit memory permit) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.TransferRefused.selector, token, payer, amount));
        pay(address(token), amount, permit);
    }

    function permitted(uint256 value) private view returns (Permit memory) {
        return permitted(token.DOMAIN_SEPARATOR(), token.nonces(payer), value);
    }

    function permitted(bytes32 domain, uint256 nonce, uint256 value) private view returns (Permit memory permit) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                payer,
                address(saltPay),
                value,
                nonce,
                DEADLINE
            )
        );
        (permit.v, permit.r, permit.s) =
            vm.sign(owner.privateKey, keccak256(abi.encodePacked(hex"1901", domain, structHash)));
    }

    function fund(PlainToken asset) private returns (PlainToken) {
        asset.mint(payer, FUNDS);
        vm.prank(payer);
        asset.approve(address(saltPay), type(uint256).max);
        return asset;
    }
}
